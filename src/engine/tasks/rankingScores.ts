import type { Batch } from '../../data/examples/batch';
import type { Scores } from '../../shared/metrics/lines';
import { correlations } from './correlation';

/** A document: its score in the data, and the model's output for it. */
export interface RatedDocument {
  readonly score: number;
  readonly output: number;
}

const CUTOFF = 10;

/**
 * How well documents are put in order, over the queries with documents of different scores; for
 * rows with one document, also how outputs and scores correlate.
 */
export class RankingScorer {
  private readonly byQuery = new Map<number, RatedDocument[]>();
  private hasLists = false;

  add({ labels, ranking }: Batch, outputs: Float32Array): void {
    if (!ranking) return;
    const { queries, groups } = ranking;
    if (groups) this.hasLists = true;
    queries.forEach((query, i) => {
      const own = this.byQuery.get(query) ?? [];
      own.push({ score: labels[i]!, output: outputs[i]! });
      this.byQuery.set(query, own);
    });
  }

  scores(): Scores {
    const all = [...this.byQuery.values()];
    const documents = all.flat();
    const [truth, found] = [documents.map((d) => d.score), documents.map((d) => d.output)];
    return { ...rankingScores(all), ...(this.hasLists ? {} : correlations(truth, found)) };
  }
}

/**
 * Means over queries, as sentence-transformers' CrossEncoderRerankingEvaluator has them: NDCG with
 * the scores as gains, MRR, and the share of relevant documents among the first ten. A document is
 * relevant if its score is nearer to the highest than to the lowest of its query. Of documents with
 * equal outputs, the less relevant comes first. None without a query that has different scores.
 */
export function rankingScores(queries: readonly (readonly RatedDocument[])[]): Scores {
  const found = queries.map(scoresOfQuery).filter((own) => own !== null);
  if (found.length === 0) return {};
  const mean = (key: keyof QueryScores) =>
    found.reduce((sum, own) => sum + own[key], 0) / found.length;
  return { ndcg_at_10: mean('ndcg'), mrr_at_10: mean('mrr'), recall_at_10: mean('recall') };
}

interface QueryScores {
  readonly ndcg: number;
  readonly mrr: number;
  readonly recall: number;
}

/** Null: all scores are equal. */
function scoresOfQuery(documents: readonly RatedDocument[]): QueryScores | null {
  const scores = documents.map(({ score }) => score);
  const least = scores.reduce((a, b) => Math.min(a, b));
  const most = scores.reduce((a, b) => Math.max(a, b));
  if (least === most) return null;
  const isRelevant = ({ score }: RatedDocument) => score > (least + most) / 2;
  const ranked = [...documents].sort((a, b) => b.output - a.output || a.score - b.score);
  const ideal = [...documents].sort((a, b) => b.score - a.score);
  const gain = (own: readonly RatedDocument[]) =>
    own
      .slice(0, CUTOFF)
      .reduce((sum, { score }, i) => sum + (score - Math.min(0, least)) / Math.log2(i + 2), 0);
  const top = ranked.slice(0, CUTOFF);
  const first = top.findIndex(isRelevant);
  return {
    ndcg: gain(ranked) / gain(ideal),
    mrr: first < 0 ? 0 : 1 / (first + 1),
    recall: top.filter(isRelevant).length / documents.filter(isRelevant).length,
  };
}
