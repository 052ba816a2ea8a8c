// Interceptors surround a call one inside the other, the first outermost: each gets the input and what it surrounds.

func intercept<Interceptor, Input, Output>(
    by interceptors: ArraySlice<Interceptor>, _ input: Input,
    _ call: @escaping (Interceptor, Input, (Input) async throws -> Output) async throws -> Output,
    around original: (Input) async throws -> Output
) async throws -> Output {
    guard let first = interceptors.first else { return try await original(input) }
    return try await call(first, input) { input in
        try await intercept(by: interceptors.dropFirst(), input, call, around: original)
    }
}

func intercept<Interceptor, Input, Output>(
    by interceptors: ArraySlice<Interceptor>, _ input: Input,
    _ call: @escaping (Interceptor, Input, (Input) throws -> Output) throws -> Output,
    around original: (Input) throws -> Output
) throws -> Output {
    guard let first = interceptors.first else { return try original(input) }
    return try call(first, input) { input in
        try intercept(by: interceptors.dropFirst(), input, call, around: original)
    }
}
