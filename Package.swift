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
        .plugin(name: "EmbedSources", targets: ["EmbedSources"]),
        .executable(name: "perdure", targets: ["perdure-command"]),
        .executable(name: "history-web", targets: ["history-web"]),
        .executable(name: "perdure-frontend", targets: ["perdure-frontend"]),
        .executable(name: "transfer-web", targets: ["transfer-web"]),
        .executable(name: "account-api", targets: ["account-api"]),
        .executable(name: "bank-worker", targets: ["bank-worker"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.0"),
        .package(url: "https://github.com/apple/swift-distributed-tracing", from: "1.7.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/grpc/grpc-swift-2", from: "2.4.0"),
        .package(url: "https://github.com/grpc/grpc-swift-nio-transport", from: "2.9.0"),
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
            name: "PerdureModel", dependencies: [.product(name: "OrderedCollections", package: "swift-collections")]),
        .target(
            name: "PerdureEngine",
            dependencies: [
                "PerdureModel", "PerdureSQL", "Postgres", .product(name: "Logging", package: "swift-log"),
            ]
        ),
        // What stands in migrations and sql is a part of the programs, so that they can migrate without a checkout.
        .target(name: "PerdureSQL", plugins: ["EmbedSQL"]),
        .plugin(name: "EmbedSQL", capability: .buildTool(), exclude: ["embed.sh"]),
        .plugin(name: "EmbedSources", capability: .buildTool()),
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
                "PerdureEngine", "PerdureMacros", "PerdureModel", "Postgres",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "Tracing", package: "swift-distributed-tracing"),
            ]
        ),
        .target(
            name: "PerdureTesting",
            dependencies: [
                "Perdure", "PerdureEngine", "PerdureModel", "Postgres", .product(name: "Logging", package: "swift-log"),
            ]
        ),
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

        // MARK: Temporal's wire protocol
        .target(
            name: "PerdureFrontend",
            dependencies: [
                "ConsoleLog", "PerdureEngine", "Postgres",
                .product(name: "GRPCCore", package: "grpc-swift-2"),
                .product(name: "GRPCNIOTransportHTTP2Posix", package: "grpc-swift-nio-transport"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            resources: [.process("Transcoding/temporal.schema")]
        ),

        // MARK: The pages
        .target(name: "ConsoleLog", dependencies: [.product(name: "Logging", package: "swift-log")]),
        .target(
            name: "WebCommon",
            dependencies: [
                "PerdureModel", "Postgres",
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "Mustache", package: "swift-mustache"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            resources: [.copy("Public")]
        ),
        .target(
            name: "HistoryWeb",
            dependencies: [
                "ConsoleLog", "PerdureEngine", "PerdureModel", "Postgres", "WebCommon",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
            ],
            resources: [.copy("Templates"), .copy("Public")]
        ),

        // MARK: The bank
        .target(
            name: "Bank",
            dependencies: [
                "Perdure", "PerdureEngine", "Postgres",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
            ],
            plugins: ["EmbedSources"]
        ),
        .target(
            name: "BankWorker",
            dependencies: [
                "Bank", "ConsoleLog", "Perdure", "PerdureEngine", "Postgres",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]
        ),
        .target(
            name: "AccountAPI",
            dependencies: [
                "Bank", "ConsoleLog", "PerdureModel", "Postgres", "WebCommon",
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]
        ),
        .target(
            name: "TransferWeb",
            dependencies: [
                "Bank", "ConsoleLog", "Perdure", "PerdureModel", "Postgres", "WebCommon",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
            ],
            resources: [
                .copy("Templates"), .copy("Public"), .copy("Workshop"),
                // The page shows the code of the three modes as it is built: Modes leads to Sources/Bank/Modes.
                .copy("Modes/PlainTransfer.swift"), .copy("Modes/RetryingTransfer.swift"),
                .copy("Modes/TransferWorkflow.swift"),
            ]
        ),

        // MARK: Examples
        .target(
            name: "EncryptionExample",
            dependencies: [
                "Perdure", "PerdureModel",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Hummingbird", package: "hummingbird"),
            ],
            path: "Examples/encryption",
            exclude: ["README.md", "Server", "Worker"]
        ),
        .executableTarget(
            name: "codec-server", dependencies: ["EncryptionExample"], path: "Examples/encryption/Server"),
        .executableTarget(
            name: "encryption-worker", dependencies: ["EncryptionExample", "Perdure", "Postgres"],
            path: "Examples/encryption/Worker"),

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
        .executableTarget(
            name: "chaos-worker",
            dependencies: [
                "Bank", "ConsoleLog", "Perdure", "Postgres",
                .target(name: "CJemalloc", condition: .when(platforms: [.linux])),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            path: "Benchmarks/ChaosWorker"
        ),
        .executableTarget(
            name: "random-programs",
            dependencies: ["RandomPrograms", .target(name: "CJemalloc", condition: .when(platforms: [.linux]))],
            path: "Benchmarks/RandomPrograms"
        ),
        .executableTarget(name: "account-api", dependencies: ["AccountAPI"], path: "Sources/Programs/account-api"),
        .executableTarget(name: "transfer-web", dependencies: ["TransferWeb"], path: "Sources/Programs/transfer-web"),
        .executableTarget(
            name: "perdure-frontend", dependencies: ["PerdureFrontend"], path: "Sources/Programs/perdure-frontend"),
        .executableTarget(name: "history-web", dependencies: ["HistoryWeb"], path: "Sources/Programs/history-web"),

        // MARK: Tests. None depends on a macro, for it would be built for the host, and all that it needs a second
        // time; nor on a program, for which SwiftPM (6.3) does not wait there, so that the build fails now and then.
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
            dependencies: ["Perdure", "PerdureEngine", "PerdureModel", "PerdureTesting", "Postgres", "TestSupport"]
        ),
        .testTarget(
            name: "PerdureFrontendTests",
            dependencies: ["PerdureEngine", "PerdureFrontend"],
            resources: [.copy("messages.tsv")]
        ),
        .testTarget(
            name: "PerdureTests",
            dependencies: [
                "EncryptionExample", "Perdure", "PerdureEngine", "PerdureTesting", "TestSupport",
                .product(name: "HummingbirdTesting", package: "hummingbird"),
                .product(name: "InMemoryTracing", package: "swift-distributed-tracing"),
                .product(name: "MetricsTestKit", package: "swift-metrics"),
            ],
            exclude: ["TemporalHistories"]
        ),
        // Random workflows, their model, and the troubles among which they run; Benchmarks/random-programs runs them
        // for longer.
        .target(
            name: "RandomPrograms",
            dependencies: [
                "Perdure", "PerdureEngine", "PerdureModel", "PerdureTesting", "Postgres",
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Tests/RandomPrograms"
        ),
        .testTarget(name: "RandomProgramTests", dependencies: ["RandomPrograms"]),
        .testTarget(
            name: "HistoryWebTests",
            dependencies: [
                "EncryptionExample", "HistoryWeb", "Perdure", "PerdureModel", "Postgres", "TestSupport", "WebCommon",
                .product(name: "HummingbirdTesting", package: "hummingbird"),
            ],
            exclude: ["runs.sql"]
        ),
        .testTarget(
            name: "BankTests",
            dependencies: [
                "Bank", "Perdure", "PerdureEngine", "PerdureModel", "PerdureTesting", "AccountAPI", "TransferWeb",
                "Postgres", "TestSupport", "WebCommon",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]
        ),
    ],
    swiftLanguageModes: [.v6]
)
