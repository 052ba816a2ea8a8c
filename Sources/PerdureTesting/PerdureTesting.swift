// PerdureTesting
