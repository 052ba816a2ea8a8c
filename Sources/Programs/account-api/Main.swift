import AccountAPI

@main
struct Main {
    static func main() async { await AccountAPIProgram.run() }
}
