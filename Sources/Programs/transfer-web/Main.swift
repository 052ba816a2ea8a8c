import TransferWeb

@main
struct Main {
    static func main() async { await TransferWebProgram.run() }
}
