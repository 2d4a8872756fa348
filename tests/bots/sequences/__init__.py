"""Random lives of grids: whatever people, prices and crashes do in turn, the books hold."""
