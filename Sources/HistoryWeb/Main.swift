@main
struct HistoryWebMain {
    static func main() async throws {}
}
