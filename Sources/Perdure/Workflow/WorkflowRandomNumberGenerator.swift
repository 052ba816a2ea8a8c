import Foundation

/// Random numbers that only the run's id and the order of the calls decide.
public struct WorkflowRandomNumberGenerator: RandomNumberGenerator, Sendable {
    let core: WorkflowCore
    public mutating func next() -> UInt64 { core.nextRandom() }
}

/// Sebastiano Vigna's SplitMix64: small, and the same on every machine.
struct SplitMix64: RandomNumberGenerator, Sendable {
    var state: UInt64

    init(state: UInt64) { self.state = state }

    init(seed: UUID) {
        // FNV-1a, so that every bit of the id counts.
        state = withUnsafeBytes(of: seed.uuid) { bytes in
            bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        }
    }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
