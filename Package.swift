// swift-tools-version: 6.2

import CompilerPluginSupport
import PackageDescription

let package = Package(
    name: "perdure",
    platforms: [.macOS(.v15)],
    products: [
        .library(name: "Perdure", targets: ["Perdure"]),
        .library(name: "PerdureTesting", targets: ["PerdureTesting"]),
        .library(name: "Postgres", targets: ["Postgres"]),
        .executable(name: "perdure", targets: ["perdure-command"]),
        .executable(name: "history-web", targets: ["history-web"]),
        .executable(name: "transfer-web", targets: ["transfer-web"]),
        .executable(name: "account-api", targets: ["account-api"]),
        .executable(name: "bank-worker", targets: ["bank-worker"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0"),
        .package(url: "https://github.com/hummingbird-project/swift-mustache", from: "2.1.0"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/swiftlang/swift-syntax", from: "603.0.0"),
    ],
    targets: [
        // MARK: The allocator of workers: being linked is all that it takes (docs/decisions/0010-jemalloc.md)
        .systemLibrary(
            name: "CJemalloc",
            pkgConfig: "jemalloc",
            providers: [.apt(["libjemalloc-dev"]), .brew(["jemalloc"])]
        ),

        // MARK: The database
        .systemLibrary(
            name: "CLibPQ",
            pkgConfig: "libpq",
            providers: [.apt(["libpq-dev"]), .brew(["libpq"])]
        ),
        .target(
            name: "Postgres",
            dependencies: ["CLibPQ", .product(name: "Logging", package: "swift-log")]
        ),

        // MARK: The engine and the SDK
        .target(
            name: "PerdureEngine",
            dependencies: ["Postgres", .product(name: "Logging", package: "swift-log")]
        ),
        .macro(
            name: "PerdureMacros",
            dependencies: [
                .product(name: "SwiftSyntax", package: "swift-syntax"),
                .product(name: "SwiftSyntaxMacros", package: "swift-syntax"),
                .product(name: "SwiftDiagnostics", package: "swift-syntax"),
                .product(name: "SwiftCompilerPlugin", package: "swift-syntax"),
            ]
        ),
        .target(
            name: "Perdure",
            dependencies: [
                "PerdureEngine", "PerdureMacros", "Postgres",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]
        ),
        .target(name: "PerdureTesting", dependencies: ["Perdure", "PerdureEngine", "Postgres"]),
        .target(
            name: "PerdureCommand",
            dependencies: [
                "Perdure", "PerdureEngine", "Postgres",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ]
        ),

        // MARK: The pages
        .target(name: "ConsoleLog", dependencies: [.product(name: "Logging", package: "swift-log")]),
        .target(
            name: "WebCommon",
            dependencies: [
                "Postgres",
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "Mustache", package: "swift-mustache"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]
        ),
        .target(
            name: "HistoryWeb",
            dependencies: [
                "ConsoleLog", "PerdureEngine", "Postgres", "WebCommon",
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
            ],
            resources: [.copy("Templates"), .copy("Public")]
        ),

        // MARK: The bank
        .target(
            name: "Bank",
            dependencies: [
                "Perdure", "Postgres",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
            ]
        ),
        .target(
            name: "BankWorker",
            dependencies: [
                "Bank", "ConsoleLog", "Perdure", "Postgres",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]
        ),
        .target(
            name: "AccountAPI",
            dependencies: [
                "Bank", "ConsoleLog", "Postgres", "WebCommon",
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]
        ),
        .target(
            name: "TransferWeb",
            dependencies: [
                "Bank", "ConsoleLog", "Perdure", "Postgres", "WebCommon",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
            ],
            resources: [
                .copy("Templates"), .copy("Public"), .copy("Workshop"),
                // The page shows the code of the three modes as it is built: Modes leads to Sources/Bank/Modes.
                .copy("Modes/PlainTransfer.swift"), .copy("Modes/RetryingTransfer.swift"),
                .copy("Modes/TransferWorkflow.swift"),
            ]
        ),

        // MARK: Programs. What they run is in libraries, which tests can import.
        .executableTarget(
            name: "perdure-command",
            dependencies: ["PerdureCommand", .target(name: "CJemalloc", condition: .when(platforms: [.linux]))],
            path: "Sources/Programs/perdure"
        ),
        .executableTarget(
            name: "bank-worker",
            dependencies: ["BankWorker", .target(name: "CJemalloc", condition: .when(platforms: [.linux]))],
            path: "Sources/Programs/bank-worker"
        ),
        .executableTarget(name: "account-api", dependencies: ["AccountAPI"], path: "Sources/Programs/account-api"),
        .executableTarget(name: "transfer-web", dependencies: ["TransferWeb"], path: "Sources/Programs/transfer-web"),
        .executableTarget(name: "history-web", dependencies: ["HistoryWeb"], path: "Sources/Programs/history-web"),

        // MARK: Tests. None depends on a macro, for it would be built for the host, and all that it needs a second time; nor on a
        // program, for which SwiftPM (6.3) does not wait there, so that the build fails now and then.
        .target(
            name: "TestSupport", dependencies: ["Postgres", .product(name: "Logging", package: "swift-log")],
            path: "Tests/Support"),
        .testTarget(
            name: "PostgresTests",
            dependencies: ["Postgres", "TestSupport", .product(name: "Logging", package: "swift-log")]
        ),
        .testTarget(
            name: "PerdureCommandTests",
            dependencies: [
                "Perdure", "PerdureCommand", "PerdureEngine", "Postgres", "TestSupport",
                .product(name: "Logging", package: "swift-log"),
            ]
        ),
        .testTarget(
            name: "PerdureEngineTests",
            dependencies: ["Perdure", "PerdureEngine", "PerdureTesting", "Postgres", "TestSupport"]
        ),
        .testTarget(
            name: "PerdureTests",
            dependencies: ["Perdure", "PerdureTesting", "TestSupport"]
        ),
        .testTarget(
            name: "HistoryWebTests",
            dependencies: [
                "HistoryWeb", "Postgres", "TestSupport", "WebCommon",
                .product(name: "HummingbirdTesting", package: "hummingbird"),
            ],
            exclude: ["runs.sql"]
        ),
        .testTarget(
            name: "BankTests",
            dependencies: [
                "Bank", "Perdure", "PerdureEngine", "AccountAPI", "TransferWeb", "Postgres",
                "TestSupport",
                "WebCommon",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Hummingbird", package: "hummingbird"),
            ]
        ),
    ],
    swiftLanguageModes: [.v6]
)
