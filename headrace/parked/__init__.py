"""`headrace parked`: streams that a projection cannot go on with, listed, taken up again, or given up.

Read `readmodel.parks` (what a park is to projectors) and `readmodel.redriving` first, then `command`, then `redriving`.
"""
