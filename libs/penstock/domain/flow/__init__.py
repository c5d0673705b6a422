"""Flow control: which waiting execution may run now, decided from facts and the time alone."""
