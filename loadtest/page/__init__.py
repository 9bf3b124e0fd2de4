"""The HTML report: one self-contained page with plots. Read `report.html`, then `filling`.

The plots are drawn by uPlot 1.6.32 (MIT, its licence beside it), which lies here so that a report needs nothing from elsewhere.
"""
