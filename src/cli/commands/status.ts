// `tunnel status` in full: a table or a document, once or kept in sight, of one supervisor or of all.
import { cleanText } from '../../model/clean.ts';
import { matchSelectors, selects } from '../../config/selectors.ts';
import type { StatusDocument } from '../../model/status.ts';
import { listSupervisors } from '../../control/reach.ts';
import { worstExitCode, type ErrorCode } from '../../errors.ts';
import { supervisorNotes } from '../../render/status.ts';
import { anyWords, selectorWords, type CommandSpec, type Run } from '../command.ts';
import type { Context } from '../../client/context.ts';
import { statusWithout } from '../../client/no-supervisor.ts';
import { checkCode, onlyProblems, showStatus, statusLines, type StatusChoice } from '../show-status.ts';
import { ask, locateTarget } from '../../client/supervisor.ts';

export const spec: CommandSpec = {
  name: 'status',
  words: selectorWords,
  takes: anyWords,
  without: 'all tunnels; with --check what is wanted, else what has autostart',
  about: 'what is up, what is not, and why',
  more: [
    'What is not up comes first. Exit 0 whatever the states are; with --check only if all are ready, else 9.',
    'Many tunnels that are away for one reason are one row; --verbose gives each its own.',
  ],
  options: [
    { name: 'watch', alias: 'w', about: 'keep showing it; with --json one document a line' },
    { name: 'check', about: 'exit 9 unless every selected tunnel is up or asleep and no probe fails' },
    { name: 'problems', about: 'only what does not serve although it is wanted' },
    { name: 'all', alias: 'a', about: 'every supervisor of this user' },
  ],
  examples: [
    ['tunnel status', ''],
    ['tunnel status --problems', 'of many tunnels those to look at'],
    ['tunnel status --check db && psql -h 127.0.0.1', 'only when it serves'],
    ["tunnel status --json | jq -r '.tunnels[].state'", 'for scripts'],
  ],
};

export const run: Run = async (context, args) => {
  const choice = { selectors: args.words, problems: args.flag('problems') };
  if (args.flag('all')) return statusOfAll(context, choice, args.flag('check'));
  if (args.flag('watch')) return (await import('../watch.ts')).watch(context, choice);
  const target = locateTarget(context);
  const answered = await ask(target, 'status', { selectors: args.words });
  const document = answered ?? (await statusWithout(context, target, args.words));
  const { problems } = choice;
  return showStatus(context, document, { check: args.flag('check') ? args.words : null, problems });
};

async function statusOfAll(
  context: Context,
  { selectors, problems }: StatusChoice,
  check: boolean,
): Promise<number> {
  const faults: ErrorCode[] = [];
  const running = await listSupervisors(context.places, context.facts, (error) => {
    faults.push(error.code);
    context.complain(error);
  });
  const documents: StatusDocument[] = [];
  for (const { client } of running) {
    const document = await client.call('status', { selectors: [] });
    client.close();
    const names = namesIn(document, selectors);
    if (names.size === 0 && selectors.length > 0) continue;
    documents.push({ ...document, tunnels: document.tunnels.filter(({ name }) => names.has(name)) });
  }
  matchSelectors(
    selectors,
    documents.flatMap(({ tunnels }) => tunnels),
  ); // each of them means something somewhere
  const shown = documents.map((document) => (problems ? onlyProblems(document) : document));
  if (context.options.json) context.json({ version: 1, supervisors: shown });
  else showAll(context, shown);
  if (faults.length > 0) return worstExitCode(faults);
  return check ? Math.max(0, ...documents.map((document) => checkCode(document, selectors))) : 0;
}

/** One supervisor need not know what another one does. */
function namesIn({ tunnels }: StatusDocument, selectors: readonly string[]): ReadonlySet<string> {
  const meant = tunnels.filter(
    (tunnel) => selectors.length === 0 || selectors.some((selector) => selects(selector, tunnel)),
  );
  return new Set(meant.map(({ name }) => name));
}

function showAll(context: Context, documents: readonly StatusDocument[]): void {
  if (documents.length === 0) context.talk('no supervisor is running');
  documents.forEach((document, index) => {
    if (index > 0) context.out('');
    const { config, pid } = document.supervisor;
    context.out(`${context.paint.bold(cleanText(config ?? ''))}  pid ${pid ?? '-'}`);
    for (const line of statusLines(context, document, { config })) context.out(line);
    for (const note of supervisorNotes(document)) context.talk(note);
  });
}
