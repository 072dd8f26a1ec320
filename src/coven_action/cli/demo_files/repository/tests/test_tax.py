import unittest

from billing.tax import total


class TotalTest(unittest.TestCase):
    def test_whole_amounts(self):
        self.assertEqual(total(1000, 19), 1190)

    def test_half_a_cent_is_rounded_up(self):
        self.assertEqual(total(150, 19), 179)


if __name__ == "__main__":
    unittest.main()
