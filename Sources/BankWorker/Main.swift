@main
struct BankWorkerMain {
    static func main() async throws {}
}
