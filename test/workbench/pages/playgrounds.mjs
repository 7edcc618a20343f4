// What the tests of the playground's page send as the host would.
export const ADAPTERS = [
  { path: '/runs/a/adapter', name: 'Plain words to git' },
  { path: '/runs/b/adapter', name: 'Answers with rhymes' },
];
export const tell = (page, message) =>
  page.evaluate((value) => window.postMessage(value, '*'), message);
export const state = (
  phase,
  adapters = ADAPTERS,
  prompts = ['Undo the last commit but keep its changes staged'],
) => ({ kind: 'state', base: 'tiny', adapters, prompts, phase });
export const READY = { kind: 'ready', has_chat_template: true, device: 'libtensorflow on CPU' };
