// PerdureEngine
