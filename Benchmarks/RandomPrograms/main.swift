import Foundation
import RandomPrograms

// Benchmarks/random-programs tells how it is used.
let arguments = Array(CommandLine.arguments.dropFirst())

func value(_ name: String) -> String? {
    arguments.firstIndex(of: "--\(name)").flatMap { $0 + 1 < arguments.count ? arguments[$0 + 1] : nil }
}

if arguments.first == "worker" {
    try await StormWorker.run()
    exit(0)
}
let seed = value("seed").flatMap(UInt64.init) ?? UInt64.random(in: 1...1_000_000_000)
var options = StormOptions(seed: seed, programs: value("programs").flatMap(Int.init) ?? 100)
if let minutes = value("minutes").flatMap(Double.init) {
    options.programs = .max
    options.end = .now + .seconds(minutes * 60)
}
options.workers = value("workers").flatMap(Int.init) ?? options.workers
options.atOnce = value("at-once").flatMap(Int.init) ?? options.atOnce
options.isTroubled = !arguments.contains("--calm")
if arguments.contains("--processes") {
    options.workerProgram = URL(filePath: CommandLine.arguments[0]).standardizedFileURL
}
options.onFinding = { finding in
    print("FOUND \(finding)")
    if let seed = finding.seed { print("      again: Benchmarks/random-programs --seed \(seed) --programs 1") }
    fflush(nil)
}
print("from seed \(seed)")
fflush(nil)
let report = try await Storm.run(options)
print(report)
exit(report.findings.isEmpty ? 0 : 1)
