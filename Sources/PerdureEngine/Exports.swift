// The functions of the engine take and return these types: who imports it needs no second import.
@_exported public import PerdureModel
