//! Which of several sorted runs has the next row.

/// A tournament among cursors: the winner is the one with the least row; every inner node remembers its match's loser.
#[derive(Debug, Default)]
pub struct LoserTree {
    /// `nodes[0]` is the winner; the children of node `i` are `2i` and `2i + 1`, leaves stand after the inner nodes.
    nodes: Vec<usize>,
}

impl LoserTree {
    pub fn build(count: usize, before: &dyn Fn(usize, usize) -> bool) -> Self {
        let mut nodes = vec![0; count.max(1)];
        let mut winners = vec![0; 2 * count];
        for leaf in 0..count {
            winners[count + leaf] = leaf;
        }
        for node in (1..count).rev() {
            let (left, right) = (winners[2 * node], winners[2 * node + 1]);
            let right_wins = before(right, left);
            winners[node] = if right_wins { right } else { left };
            nodes[node] = if right_wins { left } else { right };
        }
        if count > 1 {
            nodes[0] = winners[1];
        }
        Self { nodes }
    }

    #[inline(always)]
    pub fn winner(&self) -> usize {
        self.nodes[0]
    }

    /// Plays the matches of the winner's way again, after its cursor has moved.
    #[inline(always)]
    pub fn replay(&mut self, mut winner: usize, before: &impl Fn(usize, usize) -> bool) {
        let mut node = (self.nodes.len() + winner) / 2;
        while node > 0 {
            if before(self.nodes[node], winner) {
                std::mem::swap(&mut self.nodes[node], &mut winner);
            }
            node /= 2;
        }
        self.nodes[0] = winner;
    }

    /// Who would win if the winner had no row: the best of those that lost against it.
    pub fn runner_up(&self, before: &impl Fn(usize, usize) -> bool) -> Option<usize> {
        let mut node = (self.nodes.len() + self.nodes[0]) / 2;
        let mut best = None;
        while node > 0 {
            let loser = self.nodes[node];
            if best.is_none_or(|best| before(loser, best)) {
                best = Some(loser);
            }
            node /= 2;
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn winners_come_in_order_and_the_runner_up_is_next() {
        for count in 1..9 {
            let mut heads: Vec<usize> = (0..count).map(|i| i * 11 % count).collect();
            let mut tree = LoserTree::build(count, &|a, b| heads[a] < heads[b]);
            for expected in 0..count {
                let winner = tree.winner();
                assert_eq!(heads[winner], expected);
                let next = tree.runner_up(&|a, b| heads[a] < heads[b]);
                if expected + 1 < count {
                    assert_eq!(next.map(|next| heads[next]), Some(expected + 1));
                }
                heads[winner] += 100;
                tree.replay(winner, &|a, b| heads[a] < heads[b]);
            }
        }
    }
}
