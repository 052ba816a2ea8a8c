public import PerdureEngine

// The engine's types that workflows and activities use: authors import Perdure alone.

public typealias Payload = PerdureEngine.Payload
public typealias Failure = PerdureEngine.Failure
public typealias JSON = PerdureEngine.JSON
public typealias RetryPolicy = PerdureEngine.RetryPolicy
public typealias RetryState = PerdureEngine.RetryState
public typealias TimeoutType = PerdureEngine.TimeoutType
