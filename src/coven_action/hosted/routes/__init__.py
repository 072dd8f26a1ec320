"""What is asked by HTTP: each route reads a document, calls one service and writes its answer."""
