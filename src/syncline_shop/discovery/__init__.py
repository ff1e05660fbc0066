"""The discovery service: who runs where, for the toolkit's services and for Eureka's clients."""
