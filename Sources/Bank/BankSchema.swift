public import Foundation
public import Logging
public import PerdureEngine
public import Postgres

/// Schema `bank`: plain SQL in the folders `migrations/bank` and `sql/bank` of the checkout. The engine comes first.
public enum BankSchema {
    public static func migrator(
        root: URL, configuration: PostgresConfiguration, logger: Logger
    ) -> Migrator {
        Migrator(
            schema: "bank", migrations: "migrations/bank", definitions: ["sql/bank"], root: root,
            configuration: configuration, logger: logger)
    }
}
