@main
struct TransferWebMain {
    static func main() async throws {}
}
