// Perdure
