import { CERTIFICATE_STRINGS } from './certificate/strings';
import { COMPARE_STRINGS } from './compare/strings';
import { CONFIGURE_STRINGS } from './configure/strings';
import { DASHBOARD_STRINGS } from './dashboard/strings';
import { DATA_STRINGS } from './data/strings';
import { EVALUATION_STRINGS } from './evaluation/strings';
import { INSPECT_STRINGS } from './inspect/strings';
import { OVERLAY_STRINGS } from './overlay/strings';
import { PLAYGROUND_STRINGS } from './playground/strings';
import { RUNS_STRINGS } from './runs/strings';

interface PageRow {
  /** For lists of pages; no user sees it. */
  readonly title: string;
  /** Module that the page's script and style sheet are bundled from. */
  readonly entry: string;
  /** Whether it shows images, as data: URLs. */
  readonly images?: true;
  /** All texts in English; `loading` is shown until the first message, `none` for no number. */
  readonly strings: Readonly<Record<string, string>> & {
    readonly loading: string;
    readonly none: string;
  };
}

/** Every page of the extension; an id is also the name of its files in dist/webview. */
export const PAGES = {
  dashboard: {
    title: 'Dashboard of a run',
    entry: 'webview/dashboard/page.ts',
    strings: DASHBOARD_STRINGS,
  },
  overlay: {
    title: 'Curves of several runs',
    entry: 'webview/overlay/page.ts',
    strings: OVERLAY_STRINGS,
  },
  runs: {
    title: 'Table of runs',
    entry: 'webview/runs/page.ts',
    strings: RUNS_STRINGS,
  },
  playground: {
    title: 'Playground',
    entry: 'webview/playground/page.ts',
    images: true,
    strings: PLAYGROUND_STRINGS,
  },
  compare: {
    title: 'Comparison of two adapters',
    entry: 'webview/compare/page.ts',
    strings: COMPARE_STRINGS,
  },
  configure: {
    title: 'Rank and target modules of a recipe',
    entry: 'webview/configure/page.ts',
    strings: CONFIGURE_STRINGS,
  },
  inspect: {
    title: 'Tensors of a file',
    entry: 'webview/inspect/page.ts',
    strings: INSPECT_STRINGS,
  },
  data: {
    title: 'Rows of a dataset',
    entry: 'webview/data/page.ts',
    images: true,
    strings: DATA_STRINGS,
  },
  evaluation: {
    title: 'Evaluation',
    entry: 'webview/evaluation/page.ts',
    strings: EVALUATION_STRINGS,
  },
  certificate: {
    title: 'Certificate of a merge',
    entry: 'webview/certificate/page.ts',
    strings: CERTIFICATE_STRINGS,
  },
} as const satisfies Readonly<Record<string, PageRow>>;

export type PageId = keyof typeof PAGES;
export const PAGE_IDS = Object.keys(PAGES) as readonly PageId[];
