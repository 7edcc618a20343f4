// What the tests of the page for rank and targets share.
import { startPages } from './openPage.mjs';

export const startConfigure = () => startPages('configure', { recipe: '/w/lora.json' });

export const post = (page, data) => page.evaluate((value) => window.postMessage(value, '*'), data);

/** The page once it shows a message. */
export async function openConfigure(pages, data, options) {
  const shown = await pages.open(options);
  await post(shown.page, data);
  await shown.page.locator('h1').waitFor();
  return shown;
}
