"""What every plot shares."""

# Okabe and Ito, Color Universal Design, 2008: told apart with any colour vision
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
