import {
  asComparePageState,
  CompareHostMessageSchema,
  type CompareHostMessage,
  type ComparePageMessage,
} from '../../src/shared/pages/compare/protocol';
import type { CompareStringKey } from '../../src/shared/pages/compare/strings';
import { html } from '../shared/html';
import { startPage } from '../shared/startPage';
import { failedView } from '../shared/templates';
import { button, defineElements } from '../shared/toolkit';
import './compare.css';
import { heatMap } from './parts/heatMap';
import { moduleTable } from './parts/moduleTable';
import { Spectrum } from './parts/spectrum';
import { summary } from './parts/summary';
import { reduceCompare, type CompareState } from './state';

defineElements(button());

startPage<CompareState, CompareHostMessage, ComparePageMessage, CompareStringKey>({
  schema: CompareHostMessageSchema,
  initial: ({ kept, fact }) => {
    const [a, b] = [fact('a'), fact('b')];
    const stored = asComparePageState(kept);
    const same = stored?.a === a && stored.b === b;
    return { kept: same ? stored : { a, b }, shown: null, failure: null };
  },
  reduce: reduceCompare,
  kept: ({ kept }) => kept,
  view: (page) => {
    const spectrum = new Spectrum(page);
    return ({ shown, failure }) => {
      if (failure !== null) return failedView(page.t('failed'), failure);
      if (!shown) return null;
      return html`${summary(page, shown)}
        <div class="pair">${heatMap(page, shown)}${spectrum.view(shown)}</div>
        ${moduleTable(page, shown)}`;
    };
  },
});
