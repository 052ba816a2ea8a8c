import PerdureFrontend

@main
struct Main {
    static func main() async { await FrontendProgram.run() }
}
