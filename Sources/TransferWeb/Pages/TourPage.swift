/// The workshop's steps: the command to run, and the place to look.
struct TourPage {
    let site: Site
    let tour: Tour

    func html() -> String {
        site.render(
            "tour", at: .tour,
            [
                "modules": tour.modules.enumerated().map { number, module in
                    [
                        "id": module.id, "number": number + 1, "title": module.title,
                        "introduction": module.introduction.map { ["spans": $0.map(span)] },
                        "steps": module.steps.enumerated().map { place, step in
                            [
                                "id": "\(module.id)-\(place + 1)", "number": "\(number + 1).\(place + 1)",
                                "title": step.title, "blocks": step.blocks.map(block),
                            ] as [String: Any]
                        },
                    ] as [String: Any]
                }
            ])
    }

    private func block(_ block: Tour.Block) -> [String: Any] {
        switch block {
        case .command(let command):
            [
                "is_command": true, "command": here(command, page: site.address), "is_look": false,
                "spans": [[String: Any]](),
            ]
        case .paragraph(let spans):
            ["is_command": false, "command": "", "is_look": spans.first == .strong("Look"), "spans": spans.map(span)]
        }
    }

    private func span(_ span: Tour.Span) -> [String: Any] {
        var values: [String: Any] = [
            "text": "", "is_text": false, "is_code": false, "is_emphasis": false, "is_strong": false, "is_link": false,
            "href": "",
        ]
        switch span {
        case .text(let text): (values["text"], values["is_text"]) = (text, true)
        case .code(let text): (values["text"], values["is_code"]) = (text, true)
        case .emphasis(let text): (values["text"], values["is_emphasis"]) = (text, true)
        case .strong(let text): (values["text"], values["is_strong"]) = (text, true)
        case .link(let text, let address):
            (values["text"], values["is_link"], values["href"]) = (text, true, here(address))
        }
        return values
    }

    /// The files tell the usual addresses; here they are the ones of this page and of its history pages.
    private func here(_ text: String, page: String = "") -> String {
        text.replacing("http://127.0.0.1:5001", with: page).replacing("http://127.0.0.1:8080", with: site.historyURL)
    }
}
