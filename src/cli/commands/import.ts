// `tunnel import`: tunnels out of ssh_config, scripts, units and the files of other programs. Shows, asks, then writes.
import { join } from 'node:path';
import type { Context } from '../../client/context.ts';
import { readSource, textLimitBytes } from '../../config/source.ts';
import { readConfigLines } from '../../config/ssh-config/lines.ts';
import { shortPath } from '../../config/locate.ts';
import { stringifyTunnel } from '../../config/edit.ts';
import { TunnelError } from '../../errors.ts';
import { errnoWords } from '../../files/errno.ts';
import { readForeignFileNow } from '../../files/foreign-file.ts';
import { readForeign, type Parsers } from '../../import/read.ts';
import { count } from '../../render/units.ts';
import { usage, type Args, type CommandSpec, type Run } from '../command.ts';
import { agreed, configToEdit, writeConfig } from '../edited-config.ts';
import { typedLine } from '../typed-line.ts';
import { planImport, type Plan, type Source } from '../import-plan.ts';

export const spec: CommandSpec = {
  name: 'import',
  words: '[FILE…]',
  takes: { least: 0 },
  about: 'take tunnels over from ssh_config, scripts and other programs',
  more: [
    'FILE is an ssh_config, a shell script or systemd unit with ssh or autossh in it, or a file of boring, Portato,',
    'tunlite or mole; - is what is pasted on stdin. None, or the word ssh-config: ~/.ssh/config.',
    'Shows what it would add and what it cannot carry over, and asks; off a terminal it writes only with --yes.',
  ],
  options: [{ name: 'yes', alias: 'y', about: 'write without asking' }],
  examples: [
    ['tunnel import', 'the forwards of ~/.ssh/config'],
    ['tunnel import ~/.boring.toml --yes', 'without a question'],
  ],
};

export const run: Run = async (context, args) => {
  const config = configToEdit(context);
  const sources: Source[] = [];
  for (const word of args.words.length === 0 ? ['ssh-config'] : args.words)
    sources.push(await readSourceOf(context, word));
  const plan = await planImport(context, config, sources);
  if (!context.options.json) show(context, plan);
  const write = plan.added.length > 0 && (await shallWrite(context, args, plan, config.shown));
  if (write) await writeConfig(context, config, plan.text);
  if (context.options.json) {
    const { added, skipped, left } = plan;
    context.json({ config: config.path, written: write, added: added.map(asJson), skipped, left });
  } else if (write) tellAdded(context, config.shown, plan);
  else context.talk(plan.added.length === 0 ? 'nothing to add' : 'nothing is written');
  return 0;
};

function tellAdded(context: Context, shown: string, { added }: Plan): void {
  const names = added.map(({ name }) => name);
  context.out(`added to ${shown}: ${names.join(', ')}`);
  const first = added.filter(({ tunnel }) => tunnel['autostart'] !== false).map(({ name }) => name);
  context.talk(['next: ', { command: 'up', on: { words: first.length > 5 ? [] : first } }]);
}

const asJson = ({ name, tunnel, file, line }: Plan['added'][number]): unknown => ({
  name,
  file,
  line,
  ...tunnel,
});

async function shallWrite(context: Context, args: Args, plan: Plan, shown: string): Promise<boolean> {
  if (args.flag('yes')) return true;
  if (!context.interactive) {
    context.talk(`hint: ${writing(args)}`);
    return false;
  }
  if (context.options.json) return false;
  return agreed(context, `Add ${count(plan.added.length, 'tunnel')} to ${shown}? yes or no`);
}

/** What was pasted has been read, and cannot be read again. */
function writing({ typed, words }: Args): string {
  const line = typedLine(typed, typed.indexOf('import'), ['import', '--yes']) ?? 'tunnel import --yes';
  return words.includes('-')
    ? `${line} < FILE    # writes it: stdin was read to its end, so give it again`
    : `${line}    # writes it: there is no terminal to ask at`;
}

function show(context: Context, { added, skipped, left }: Plan): void {
  for (const { name, tunnel } of added) for (const line of stringifyTunnel(name, tunnel)) context.out(line);
  for (const { file, line, name } of skipped) context.talk(`${file}:${line} is there already, as ${name}`);
  for (const { file, line, reason } of left) context.talk(`${file}:${line} ${reason}`);
}

const parsers: Parsers = {
  sshConfig: readConfigLines,
  yaml: (text) => {
    const { value, issues } = readSource('', text);
    const [first] = issues;
    if (value === null && first !== undefined) throw new Error(`line ${first.line}: ${first.message}`);
    return value;
  },
};

async function readSourceOf(context: Context, word: string): Promise<Source> {
  const { facts } = context;
  const own = word === 'ssh-config';
  const path = own ? join(facts.home, '.ssh', 'config') : word;
  const shown = word === '-' ? 'stdin' : shortPath(path, facts);
  const text = word === '-' ? await pasted(context) : textOf(path, shown);
  try {
    const isOwn = own || path === join(facts.home, '.ssh', 'config');
    return { shown, found: await readForeign(text, isOwn, parsers) };
  } catch (thrown) {
    const why = (thrown instanceof Error ? thrown.message : String(thrown)).split('\n')[0] ?? '';
    throw usage(`cannot read ${shown}: ${why}`, { command: 'import --help' });
  }
}

function textOf(path: string, shown: string): string {
  try {
    return readForeignFileNow(path, textLimitBytes).bytes.toString('utf8');
  } catch (thrown) {
    const { code, message } = thrown as NodeJS.ErrnoException;
    throw new TunnelError('USAGE', `cannot read ${shown}: ${errnoWords(code) ?? message}`, {
      hint: { command: 'import --help' },
      cause: thrown,
    });
  }
}

async function pasted(context: Context): Promise<string> {
  let text = '';
  for await (const chunk of context.stdin) text += String(chunk);
  return text;
}
