import BankWorker

@main
struct Main {
    static func main() async { await BankWorkerProgram.run() }
}
