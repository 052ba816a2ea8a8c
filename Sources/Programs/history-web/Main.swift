import HistoryWeb

@main
struct Main {
    static func main() async { await HistoryWebProgram.run() }
}
