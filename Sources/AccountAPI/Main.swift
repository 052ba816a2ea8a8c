@main
struct AccountAPIMain {
    static func main() async throws {}
}
