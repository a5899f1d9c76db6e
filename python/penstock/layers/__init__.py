"""Pure functions over arrays. Axis letters, here and wherever a shape is written down:

B  rows (sequences)          T  new tokens of a row        S  cached tokens of a row
P  pages of a block table    D  model width                F  width inside the MLP
N  query heads               K  key-value heads            G  query heads per key-value head
H  head size                 V  vocabulary                 E  experts
"""
