import { nothing, type TemplateResult } from 'lit-html';
import type { Figures, Memory } from '../../../src/shared/pages/configure/protocol';
import { html } from '../../shared/html';
import type { ConfigurePage, ShownRecipe } from '../state';
import { tableHead } from './tableHead';

const MEMORY_PARTS = [
  'weights',
  'adapter',
  'gradients',
  'optimizer',
  'activations',
  'working',
  'total',
] as const satisfies readonly (keyof Memory)[];

/** Trainable parameters, memory and file size, compared with full fine-tuning. */
export function costsView(page: ConfigurePage, { figures }: ShownRecipe): TemplateResult {
  const { t } = page;
  const { otherRanks, memory, full, there, images } = figures;
  return html`<section class="card costs" aria-labelledby="costs-title">
    <h2 id="costs-title">${t('costs')}</h2>
    ${tiles(page, figures)}
    <p class="warning" role="alert" ?hidden=${!memory || memory.total <= there}>
      ${t('costs.over')}
    </p>
    <p class="hint">${batchText(page, figures)}</p>
    ${images && memory ? html`<p class="hint images">${imagesText(page, images)}</p>` : nothing}
    <p class="hint" ?hidden=${otherRanks === 0}>${t('costs.otherRanks', otherRanks)}</p>
    ${memory ? memoryTables(page, figures, { memory, full }) : nothing}
    <h3 id="kinds-title">${t('kinds.title')}</h3>
    <p class="hint">${t('kinds.square')}</p>
    <div class="scroll">${kindsTable(page, figures)}</div>
  </section>`;
}

function batchText({ t, format }: ConfigurePage, { batch, length, longest }: Figures): string {
  return longest === null || longest > length
    ? t('costs.batch', batch, format.count(length))
    : t('costs.rows', batch, format.count(longest));
}

/** Whether the images are those of the dataset, or assumed. */
const imagesText = (
  { t, format }: ConfigurePage,
  { tokens, from }: NonNullable<Figures['images']>,
): string => t(`costs.images.${from}`, format.count(tokens));

function tiles(page: ConfigurePage, figures: Figures): TemplateResult {
  const { t, format } = page;
  const { trainable, parameters, modules, fileBytes, memory, full } = figures;
  const share = t(
    'costs.share',
    format.percent(trainable / parameters),
    format.compact(parameters),
  );
  const file = t('costs.fileSub', format.count(modules));
  return html`<dl class="tiles">
    ${tile(t('costs.trainable'), format.count(trainable), share)}
    ${tile(t('costs.file'), format.bytes(fileBytes), file)}
    ${memory ? memoryTiles(page, figures, { memory, full }) : nothing}
  </dl>`;
}

interface StepMemories {
  readonly memory: Memory;
  /** Null: the model is not trained in full, and no layer is recomputed. */
  readonly full: Memory | null;
}

function memoryTiles(
  { t, format }: ConfigurePage,
  { trainable, parameters, there }: Figures,
  { memory, full }: StepMemories,
): TemplateResult {
  const own = tile(
    t('costs.memory'),
    format.bytes(memory.total),
    t('costs.memorySub', format.bytes(there)),
    memory.total > there,
  );
  if (!full) return own;
  const times = t(
    'costs.fullSub',
    format.digits(full.total / memory.total, 2),
    trainable === 0 ? t('none') : format.digits(parameters / trainable, 3),
  );
  return html`${own} ${tile(t('costs.full'), format.bytes(full.total), times)}`;
}

const memoryTables = (
  page: ConfigurePage,
  { types, step }: Figures,
  memories: StepMemories,
): TemplateResult =>
  html`<h3 id="types-title">${page.t('types.title')}</h3>
    ${step ? html`<p class="hint step">${stepText(page, step)}</p>` : nothing}
    <div class="scroll">${typesTable(page, types, memories.full !== null)}</div>
    <h3 id="memory-title">${page.t('memory.title')}</h3>
    <div class="scroll">${memoryTable(page, memories)}</div>`;

/** What the base is kept in and why, and how many layers are recomputed. */
function stepText({ t }: ConfigurePage, step: NonNullable<Figures['step']>): string {
  const { kept, recomputed, layers, why } = step;
  const layersText = recomputed === 0 ? t('step.none') : t('step.some', recomputed, layers);
  return `${t(`step.${why}`, kept)} ${layersText}`;
}

const tile = (label: string, value: string, sub: string, isOver = false) =>
  html`<div class="tile" data-over=${isOver || nothing}>
    <dt>${label}</dt>
    <dd class="value">${value}</dd>
    <dd class="sub">${sub}</dd>
  </div>`;

function typesTable(
  { t, format }: ConfigurePage,
  types: Figures['types'],
  isRecomputed: boolean,
): TemplateResult {
  const all = ['type', 'bytes', 'recomputed', 'fit'] as const;
  const columns = all.filter((column) => isRecomputed || column !== 'recomputed');
  return html`<table class="types" aria-labelledby="types-title">
    ${tableHead(columns.map((column) => t(`types.${column}`)))}
    <tbody>
      ${types.map(
        ({ base_dtype, bytes, recomputed_bytes, fit }) =>
          html`<tr data-fit=${fit}>
            <th scope="row">${base_dtype}</th>
            <td>${format.bytes(bytes)}</td>
            ${isRecomputed ? html`<td>${format.bytes(recomputed_bytes)}</td>` : nothing}
            <td>${t(`types.fits.${fit}`)}</td>
          </tr>`,
      )}
    </tbody>
  </table>`;
}

function memoryTable({ t, format }: ConfigurePage, { memory, full }: StepMemories): TemplateResult {
  return html`<table class="memory" aria-labelledby="memory-title">
    ${tableHead([t('memory.part'), t('memory.lora'), ...(full ? [t('memory.full')] : [])])}
    <tbody>
      ${MEMORY_PARTS.map(
        (part) =>
          html`<tr class=${part}>
            <th scope="row">${t(`memory.${part}`)}</th>
            <td>${format.bytes(memory[part])}</td>
            ${full ? html`<td>${format.bytes(full[part])}</td>` : nothing}
          </tr>`,
      )}
    </tbody>
  </table>`;
}

function kindsTable({ t, format }: ConfigurePage, { kinds }: Figures): TemplateResult {
  const columns = ['kind', 'count', 'shape', 'update', 'whole', 'share'] as const;
  return html`<table class="kinds" aria-labelledby="kinds-title">
    ${tableHead(columns.map((column) => t(`kinds.${column}`)))}
    <tbody>
      ${kinds.map(
        ({ name, modules, out_features, in_features, update, whole }) =>
          html`<tr>
            <th scope="row">${name}</th>
            <td>${format.count(modules)}</td>
            <td>${format.count(out_features)} × ${format.count(in_features)}</td>
            <td>${format.count(update)}</td>
            <td>${format.count(whole)}</td>
            <td>${format.percent(update / whole)}</td>
          </tr>`,
      )}
    </tbody>
  </table>`;
}
