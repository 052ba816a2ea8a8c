import PerdureCommand

@main
struct Main {
    static func main() async { await PerdureProgram.run() }
}
