import {
  PlaygroundHostMessageSchema,
  type PlaygroundHostMessage,
  type PlaygroundPageMessage,
} from '../../src/shared/pages/playground/protocol';
import type { PlaygroundStringKey } from '../../src/shared/pages/playground/strings';
import { html } from '../shared/html';
import { startPage } from '../shared/startPage';
import { button, defineElements } from '../shared/toolkit';
import { answersView } from './parts/answers';
import { questionView } from './parts/question';
import './playground.css';
import { afterMessage, initialPlayground, reducePlayground, type PlaygroundState } from './state';

defineElements(button());

startPage<PlaygroundState, PlaygroundHostMessage, PlaygroundPageMessage, PlaygroundStringKey>({
  schema: PlaygroundHostMessageSchema,
  initial: ({ kept, fact, strings }) => initialPlayground(kept, fact('base'), strings.base),
  reduce: reducePlayground,
  received: afterMessage,
  // The page says what it is about only once it knows the adapters.
  kept: ({ server, kept }) => (server ? kept : undefined),
  view: (page) => (state) =>
    state.server && html`${questionView(page, state, state.server)}${answersView(page, state)}`,
});
