import Foundation
import WebCommon

/// The workers of the last two minutes on a time axis, with the gap that a crash leaves; and how to crash one, deploy a
/// bug, and deploy the fix.
struct WorkersPage {
    let site: Site
    let state: Workers.State
    /// What was just asked for, for a browser without scripts.
    var outcome: String?

    /// In seconds.
    static let window = 120

    private static let laneHeight = 30
    private static let top = 34

    func html() -> String {
        let deployed = state.deployments.first
        let lanes = lanes()
        let height = Self.top + lanes.count * Self.laneHeight + 34
        let alive = state.lives.filter { $0.endedAt == nil }
        return site.render(
            "workers", at: .workers,
            [
                "is_workshop": site.isWorkshop, "outcome": outcome ?? "",
                "build": deployed?.buildID ?? "none", "bug": deployed?.bug.map(Self.inWords) ?? "",
                "has_bug": deployed?.bug != nil,
                "height": height, "axis": height - 4, "lane_end": height - 34,
                "bars": lanes.enumerated().flatMap { number, lives in lives.map { bar($0, lane: number) } },
                "kills": state.kills.compactMap(kill), "steps": steps(y: height - 32),
                "lines": state.deployments.compactMap(line), "ticks": ticks(),
                "summary": summary(alive), "workers": alive.map(row), "has_workers": !alive.isEmpty,
                "waiting": state.waiting.map(row), "has_waiting": !state.waiting.isEmpty,
                "waiting_count": state.waitingCount,
                "log": log().prefix(14).map {
                    ["time": clock($0.time), "text": $0.text, "look": $0.look] as [String: Any]
                },
            ])
    }

    static func inWords(_ bug: Workers.Bug) -> String {
        switch bug {
        case .workflow: "with a bug in the workflow's code"
        case .activity: "with a bug in an activity"
        }
    }

    // MARK: The time axis

    private func x(_ time: Date) -> Double {
        let share = 1 + time.timeIntervalSince(state.now) / Double(Self.window)
        return (min(max(share, 0), 1) * 10_000).rounded() / 100
    }

    /// Lives that do not overlap share a lane, as a restarted worker takes its predecessor's place.
    private func lanes() -> [[Workers.Life]] {
        var lanes: [[Workers.Life]] = []
        for life in state.lives {
            let free = lanes.firstIndex { lane in
                guard let end = lane.last.flatMap({ $0.endedAt == nil ? nil : $0.lastSeenAt }) else { return false }
                return end <= life.registeredAt
            }
            if let free { lanes[free].append(life) } else { lanes.append([life]) }
        }
        return lanes
    }

    private func bar(_ life: Workers.Life, lane: Int) -> [String: Any] {
        let isOver = life.endedAt != nil || life.state == .overdue
        let start = x(life.registeredAt)
        let end =
            life.state == .alive ? 100 : x(life.state == .stopped ? life.endedAt ?? life.lastSeenAt : life.lastSeenAt)
        let found = life.state == .lost ? x(life.endedAt ?? state.now) : life.state == .overdue ? 100 : end
        let y = Self.top + lane * Self.laneHeight
        return [
            "x": start, "width": max(end - start, 0.3), "y": y, "text_y": y + 15,
            "gap_x": end, "gap": max(found - end, 0), "is_gap": isOver && life.state != .stopped && found > end,
            "look": life.state.rawValue.lowercased(), "label": end - start > 12 ? "\(pid(life)) · \(life.buildID)" : "",
            "title": """
            \(life.identity), build \(life.buildID), \(life.state.rawValue.lowercased()), \
            since \(clock(life.registeredAt))
            """,
            "label_x": start + 0.6,
        ]
    }

    private func kill(_ kill: (identity: String, time: Date)) -> [String: Any]? {
        let lanes = lanes()
        guard let lane = lanes.firstIndex(where: { $0.contains { $0.identity == kill.identity } }) else { return nil }
        return [
            "x": x(kill.time), "y": Self.top + lane * Self.laneHeight + 16,
            "title": "kill -9 of \(kill.identity) at \(clock(kill.time))",
        ]
    }

    /// One mark for every half percent of the axis in which money moved.
    private func steps(y: Int) -> [[String: Any]] {
        let places = Set(state.movements.map { (x($0) * 2).rounded() / 2 })
        return places.sorted().map { ["x": $0, "y": y, "end": y + 12] }
    }

    private func line(_ deployment: Workers.Deployment) -> [String: Any]? {
        guard state.now.timeIntervalSince(deployment.deployedAt) < Double(Self.window) else { return nil }
        let x = x(deployment.deployedAt)
        return [
            "x": x, "label": deployment.buildID + (deployment.bug == nil ? "" : ", bug"),
            "is_bug": deployment.bug != nil,
            "anchor": x > 85 ? "end" : "start",
        ]
    }

    private func ticks() -> [[String: Any]] {
        stride(from: 0, through: Self.window, by: 30).map { ago in
            [
                "x": 100 - Double(ago) / Double(Self.window) * 100, "label": ago == 0 ? "now" : "\(ago) s ago",
                "anchor": ago == 0 ? "end" : ago == Self.window ? "start" : "middle", "minor": ago % 60 != 0,
            ]
        }
    }

    private func summary(_ alive: [Workers.Life]) -> String {
        "\(alive.count) workers live; in the last two minutes \(state.lives.count { $0.state == .lost }) were lost, "
            + "and money moved \(state.movements.count) times."
    }

    // MARK: Lists

    private func pid(_ life: Workers.Life) -> Substring { life.identity.prefix { $0 != "@" } }

    private func row(_ life: Workers.Life) -> [String: Any] {
        [
            "identity": life.identity, "pid": String(pid(life)), "build": life.buildID,
            "state": life.state == .alive ? "live" : "silent since \(clock(life.lastSeenAt))",
            "tasks": life.tasks == 0 ? "idle" : life.tasks == 1 ? "holds 1 task" : "holds \(life.tasks) tasks",
            "can_crash": site.isWorkshop && life.state == .alive,
        ]
    }

    private func row(_ waiting: Workers.Waiting) -> [String: Any] {
        [
            "workflow": waiting.workflowID, "href": site.history(waiting.workflowID, waiting.runID),
            "where": waiting.activityID ?? "the workflow's code", "is_bug": waiting.activityID == nil,
            "attempt": waiting.attempt, "failure": waiting.failure,
        ]
    }

    private func log() -> [(time: Date, text: String, look: String)] {
        var log: [(time: Date, text: String, look: String)] = []
        for deployment in state.deployments {
            log.append(
                (
                    deployment.deployedAt,
                    "\(deployment.buildID) deployed\(deployment.bug.map { ", \(Self.inWords($0))" } ?? "")",
                    deployment.bug == nil ? "good" : "bad"
                ))
        }
        for kill in state.kills { log.append((kill.time, "kill -9 of \(kill.identity)", "bad")) }
        for life in state.lives {
            log.append((life.registeredAt, "\(life.identity) came with build \(life.buildID)", "good"))
            switch (life.state, life.endedAt) {
            case (.lost, let end?):
                let silence = Int(end.timeIntervalSince(life.lastSeenAt).rounded())
                log.append(
                    (
                        end,
                        "\(life.identity) was found to be gone, \(silence)\u{A0}s after its last sign: "
                            + "others take its work",
                        "bad"
                    ))
            case (.stopped, let end?): log.append((end, "\(life.identity) finished and left", "quiet"))
            default: break
            }
        }
        return log.sorted { $0.time > $1.time }
    }
}
