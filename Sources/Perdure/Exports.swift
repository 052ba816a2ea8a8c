// The engine's types that workflows and activities use: authors import Perdure alone.

@_exported public import struct PerdureEngine.Failure
@_exported public import enum PerdureEngine.JSON
@_exported public import struct PerdureEngine.Payload
@_exported public import struct PerdureEngine.RetryPolicy
@_exported public import struct PerdureEngine.RetryState
@_exported public import struct PerdureEngine.TimeoutType
