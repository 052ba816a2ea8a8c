@main
struct PerdureCommandMain {
    static func main() async throws {}
}
