import type { StepImages } from '../../shared/stepMemory';
import { withImages } from '../setup/costs';
import { formatBytes } from '../text/format';
import { t } from '../text/l10n';
import type { PickItem } from '../ui/picker';
import type { SendPlan, SentItem } from './targetJobs';
import { machineText, memoryOf } from './targetReport';

/** A recipe that is to be trained on a target. */
export interface Sending {
  readonly target: string;
  readonly recipe: string;
  readonly plan: SendPlan;
}

/** What a step needs, and the images of chats that it is estimated with. */
export interface NeededMemory {
  readonly bytes: number;
  readonly images: StepImages | null;
}

/** The rows of the question: to start, what is sent, what is there, and what it has. */
export function sendRows({ target, plan }: Sending, memory: NeededMemory | null): PickItem<true>[] {
  const { items, there, report } = plan;
  const bytes = items.reduce((sum, item) => sum + (item.present ? 0 : item.bytes), 0);
  const [machine] = report.machines;
  return [
    {
      icon: 'play',
      label: t('Start on {0}', target),
      description: bytes === 0 ? t('nothing is sent') : t('sends {0}', formatBytes(bytes)),
      value: true,
      ...(memory !== null && { detail: memoryText(memory, memoryOf(report)!) }),
    },
    heading(t('What it needs there')),
    ...items.map(itemRow),
    ...there.map(thereRow),
    ...(machine ? [heading(machine.name), machineRow(machineText(machine))] : []),
  ];
}

const itemRow = ({ label, bytes, present }: SentItem): PickItem<never> => ({
  icon: present ? 'check' : 'cloud-upload',
  label,
  description: present
    ? t('{0}, is there already', formatBytes(bytes))
    : t('{0}, is sent', formatBytes(bytes)),
  value: null,
});

const machineRow = (label: string): PickItem<never> => ({ icon: 'server', label, value: null });

function memoryText({ bytes, images }: NeededMemory, available: number): string {
  const [needed, there] = [formatBytes(bytes), formatBytes(available)];
  const text =
    bytes > available
      ? t('needs about {0} of memory, more than its {1}', needed, there)
      : t('needs about {0} of its {1} of memory', needed, there);
  return withImages(text, images);
}

const thereRow = (place: string): PickItem<never> => ({
  icon: 'check',
  label: place,
  description: t('is there already'),
  value: null,
});

/** A row that only separates others. */
export const heading = (label: string): PickItem<never> => ({
  label,
  separator: true,
  value: null,
});
