import Bank
import Foundation
import Postgres

/// The bank's books, for reading; see `sql/bank/30_views.sql` and `sql/bank/60_books.sql`.
struct Books: Sendable {
    let pool: PostgresPool

    /// Which entries are wanted.
    struct Filter: Sendable {
        var account: String?
        var transfer: String?
    }

    /// What proves the books, from the postings.
    struct Proof: Sendable {
        var wrongEntries: Int64
        var wrongBalances: Int64
        var debits: Money
        var credits: Money
        var isConserved: Bool
    }

    struct Balance: Sendable {
        var account: String
        var kind: String
        var balance: Money
        var opening: Money
    }

    struct Stranded: Sendable {
        var transfer: String
        var mode: String?
        var account: String?
        var amount: Money
    }

    struct Entry: Sendable {
        var id: Int64
        var time: Date
        var kind: String
        var isPosted: Bool
        var amount: Money?
        var transferID: String?
        var mode: String?
        var workflowID: String?
        var runID: String?
        var activityID: String?
        var cause: String
        var scheduledEvent: Int64?
        var endedEvent: Int64?
        var attempt: Int32?
        var memo: String?
        var postings: [(account: String, amount: Money)]
    }

    func proof() async throws -> Proof {
        let row = try await pool.query(
            """
            select a.wrong_entries, a.wrong_balances, a.conserved and a.sum_of_postings = 0 as conserved,
                p.debits, p.credits
            from bank.audit a
            cross join (
                select coalesce(-sum(amount_cents) filter (where amount_cents < 0), 0)::bigint as debits,
                       coalesce(sum(amount_cents) filter (where amount_cents > 0), 0)::bigint as credits
                from bank.postings) p
            """)[0]
        return Proof(
            wrongEntries: try row.decode("wrong_entries"), wrongBalances: try row.decode("wrong_balances"),
            debits: Money(cents: try row.decode("debits")), credits: Money(cents: try row.decode("credits")),
            isConserved: try row.decode("conserved"))
    }

    func balances() async throws -> [Balance] {
        try await pool.query(
            """
            select account_id, kind, balance_cents, opening_cents from bank.balances
            where closed_at is null order by kind <> 'customer', account_id
            """
        ).map {
            Balance(
                account: try $0.decode("account_id"), kind: try $0.decode("kind"),
                balance: Money(cents: try $0.decode("balance_cents")),
                opening: Money(cents: try $0.decode("opening_cents")))
        }
    }

    /// The money that nobody will deliver, the largest amounts first.
    func stranded() async throws -> [Stranded] {
        try await pool.query(
            """
            select s.transfer_id, s.account_id, s.amount_cents,
                   coalesce(d.mode, case when s.workflow_id is not null then 'durable' end) as mode
            from bank.stranded s left join bank.direct_transfers d on d.transfer_id::text = s.transfer_id
            order by abs(s.amount_cents) desc, s.transfer_id limit 100
            """
        ).map {
            Stranded(
                transfer: try $0.decode("transfer_id"), mode: try $0.decode("mode"),
                account: try $0.decode("account_id"), amount: Money(cents: try $0.decode("amount_cents")))
        }
    }

    /// Newest first.
    /// - Parameter before: the entry after which to go on, for the next page.
    func entries(_ filter: Filter, before: Int64?, limit: Int) async throws -> [Entry] {
        let query = PostgresQuery(
            """
            with page as materialized (
                select e.entry_id from bank.journal_entries e
                where ($1::text is null or exists (
                        select from bank.postings p where p.entry_id = e.entry_id and p.account_id = $1))
                  and ($2::text is null or e.transfer_id = $2)
                  and ($3::bigint is null or e.entry_id < $3)
                order by e.entry_id desc limit $4
            )
            select j.entry_id, j.created_at, j.kind, j.outcome, (j.amount * 100)::bigint as amount_cents,
                   j.transfer_id, j.mode,
                   j.workflow_id, j.run_id, j.activity_id, j.cause, j.scheduled_event_id, j.ended_event_id,
                   j.attempt, j.memo,
                   p.accounts, p.amounts
            from page
            join bank.journal j using (entry_id)
            cross join lateral (
                select coalesce(array_agg(p.account_id order by p.amount_cents < 0 desc, p.account_id),
                    '{}') as accounts,
                    coalesce(array_agg(p.amount_cents order by p.amount_cents < 0 desc, p.account_id),
                    '{}') as amounts
                from bank.postings p where p.entry_id = page.entry_id) p
            order by j.entry_id desc
            """, binds: [filter.account, filter.transfer, before, limit])
        return try await pool.query(query).map(Entry.init)
    }
}

extension Books.Entry {
    fileprivate init(_ row: PostgresRow) throws {
        id = try row.decode("entry_id")
        time = try row.decode("created_at")
        kind = try row.decode("kind")
        isPosted = try row.decode(String.self, "outcome") == "posted"
        amount = try row.decode(Int64?.self, "amount_cents").map(Money.init(cents:))
        transferID = try row.decode("transfer_id")
        mode = try row.decode("mode")
        workflowID = try row.decode("workflow_id")
        runID = try row.decode("run_id")
        activityID = try row.decode("activity_id")
        cause = try row.decode("cause")
        scheduledEvent = try row.decode("scheduled_event_id")
        endedEvent = try row.decode("ended_event_id")
        attempt = try row.decode("attempt")
        memo = try row.decode("memo")
        let accounts = try row.decode([String].self, "accounts")
        let amounts = try row.decode([Int64].self, "amounts")
        postings = zip(accounts, amounts).map { ($0, Money(cents: $1)) }
    }
}
