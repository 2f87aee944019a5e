// `tunnel why` as people read it (SPEC 7): a line a layer, with its time and what was found there.
import type { WhyDocument, WhyStep } from '../model/why.ts';
import type { Paint } from './color.ts';
import { renderTable, type Cell } from './table.ts';
import { formatElapsed } from './units.ts';

/** The lines of the table; the error is not among them. With jump hosts each line begins with its hop. */
export function renderWhy({ steps }: WhyDocument, paint: Paint, columns = Infinity): string[] {
  const several = new Set(steps.map(({ hop }) => hop)).size > 1;
  const rows = steps.map((step) => {
    const lead = several ? [{ text: step.hop, paint: paint.dim }] : [];
    const cells = [...lead, { text: step.layer, paint: paint.bold }, statusCell(step, steps, paint)];
    return { cells: [...cells, timeOf(step), step.detail] };
  });
  return renderTable(null, rows, paint, { columns, shorten: {}, leaveOut: [] });
}

/** A credential that was refused before another one was taken is no failure of its layer. */
function statusCell(step: WhyStep, all: readonly WhyStep[], paint: Paint): Cell {
  const { status, layer, hop } = step;
  if (status === 'ok') return { text: 'ok', paint: paint.green };
  if (status === 'skipped') return { text: 'skipped', paint: paint.dim };
  const taken =
    layer === 'auth' &&
    all.some((other) => other.hop === hop && other.layer === 'auth' && other.status === 'ok');
  return taken ? { text: 'refused', paint: paint.yellow } : { text: 'FAILED', paint: paint.red };
}

function timeOf({ status, ms, layer }: WhyStep): string {
  if (status === 'skipped' || (layer === 'listen' && ms === 0)) return '';
  return formatElapsed(ms);
}
