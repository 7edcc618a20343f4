import type { Answer, Asked } from '../../inspect/questions';
import type { DataQuestions } from '../../inspect/dataset/questions';
import type { Inspections } from '../inspection/inspections';

type Question = keyof DataQuestions;

/** Asks the process of a page about its dataset. */
export class DataClient {
  constructor(
    readonly inspections: Inspections,
    private readonly file: string,
  ) {}

  ask<K extends Question>(kind: K, asked: Omit<Asked<K>, 'file'>): Promise<Answer<K>> {
    return this.inspections.ask(kind, { ...asked, file: this.file });
  }
}
