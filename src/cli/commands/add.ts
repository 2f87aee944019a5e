// `tunnel add NAME -L … HOST`: writes a tunnel into the file, in ssh's own letters. Comments and order of all else stay.
import type { Context } from '../../client/context.ts';
import { addTunnel, freeName, namesIn, type NewTunnel } from '../../config/edit.ts';
import type { Clash } from '../../config/issue.ts';
import { declaredText } from '../../config/load.ts';
import { namePattern, nameRule } from '../../config/value.ts';
import { TunnelError } from '../../errors.ts';
import { formatEndpoint } from '../../model/endpoint.ts';
import { shellWord } from '../../model/shell-word.ts';
import { hintText } from '../../render/error.ts';
import { usage, type Args, type CommandSpec, type Run } from '../command.ts';
import { configToEdit, faultWith, writeConfig, type EditedConfig, type Fault } from '../edited-config.ts';
import { readSshTunnel } from '../ssh-tunnel.ts';
import { typedLine } from '../typed-line.ts';

export const spec: CommandSpec = {
  name: 'add',
  words: 'NAME HOST',
  otherWords: 'NAME -L … HOST',
  stands: { NAME: 'nothing' },
  takes: { least: 2, most: 2 },
  ssh: true,
  about: 'write a tunnel into the file',
  more: [
    'Forwards as for ssh: -L [BIND:]PORT:HOST:PORT, -R the same, -D [BIND:]PORT, as often as needed.',
    'PORT may be a range (3000-3005), with -L and -D also auto. -p -l -i -J -C -4 -6 -b -m -o as for ssh too.',
    'HOST is [user@]host[:port], or a name from the file or ~/.ssh/config.',
  ],
  options: [
    { name: 'tag', value: 'TAG[,TAG]', about: 'tags, for tag:TAG wherever a name can stand' },
    { name: 'lazy', about: 'connect only when somebody uses the port' },
  ],
  examples: [
    ['tunnel add db -L 5432:db.internal:5432 me@bastion', 'then: tunnel up db'],
    ['tunnel add web -D 1080 bastion', 'a SOCKS proxy'],
  ],
};

export const run: Run = async (context, args) => {
  const [name = '', host = ''] = args.words;
  if (!namePattern.test(name)) throw usage(`NAME ${shellWord(name)} ${nameRule}`, { command: 'add --help' });
  const config = configToEdit(context);
  const tunnel = tunnelOf(context, args, host);
  const names = namesIn(config.text);
  if (names.includes(name))
    throw usage(`there is a tunnel named ${name} already, and it stays as it is`, otherName(args, names));
  const text = addTunnel(config.text, name, tunnel);
  const fault = await faultWith(context, config, text);
  if (fault !== null) throw await refusal(context, args, config, fault);
  await writeConfig(context, config, text);
  if (context.options.json) context.json({ config: config.path, added: [{ name, ...tunnel }] });
  else {
    context.out(`${config.isNew ? 'wrote' : 'added to'} ${config.shown}: ${name}`);
    context.talk(`next: ${hintText({ command: `up ${name}` }, context.options.config)}`);
  }
  return 0;
};

function tunnelOf(context: Context, args: Args, host: string): NewTunnel {
  const tags = args.text('tag')?.split(',');
  const more = {
    ...(tags === undefined ? {} : { tags }),
    ...(args.flag('lazy') ? { lazy: true } : {}),
  };
  return readSshTunnel(context, args, 'add NAME', { host, more }).tunnel;
}

function otherName({ typed, words }: Args, names: readonly string[]): string {
  const [name = ''] = words;
  const line = typedLine(typed, typed.indexOf(name), [freeName(name, names)]);
  return `${line ?? 'tunnel add NAME …'}    # under another name`;
}

async function refusal(
  context: Context,
  args: Args,
  config: EditedConfig,
  { issue, sentence }: Fault,
): Promise<TunnelError> {
  const [name = ''] = args.words;
  const { clash } = issue;
  const none = new TunnelError('CONFIG_INVALID', `cannot add ${name}, on ${config.shown}: ${sentence}`, {
    hint: { command: 'check', note: 'nothing is written; is the fault there already?' },
  });
  if (clash === undefined || !issue.path.startsWith(`tunnels.${name}.`)) return none;
  const whose = clash.tunnel === name ? 'stands there twice' : `is taken by the tunnel ${clash.tunnel}`;
  const where = clash.isRemote ? ' of the server' : '';
  return new TunnelError(
    'CONFIG_INVALID',
    `cannot add ${name}: ${formatEndpoint(clash.listen)}${where} ${whose}`,
    {
      hint: (await otherPort(context, args, config, clash)) ?? {
        command: 'show',
        on: { tunnel: clash.tunnel },
        note: 'nothing is written',
      },
    },
  );
}

/** The same line with a local port that nobody has; null where there is none near, or it cannot be told which is meant. */
async function otherPort(
  { facts }: Context,
  { typed }: Args,
  { path, text }: EditedConfig,
  { listen, isRemote }: Clash,
): Promise<string | null> {
  if (isRemote || listen.kind === 'unix') return null;
  const port = new RegExp(`^(-\\w*[LD])?((?:[^:]*:)?)${listen.port}(?=:|$)`);
  const at = typed.findIndex((word, index) =>
    /^-\w*[LD]$/.test(typed[index - 1] ?? '') || /^-\w*[LD]/.test(word) ? port.test(word) : false,
  );
  const { freePortFrom } = await import('../../client/free-port.ts');
  const free = await freePortFrom(listen.host, listen.port + 1, declaredText(path, text, facts).tunnels);
  if (free === null) return null;
  const line = typedLine(typed, at, [(typed[at] ?? '').replace(port, `$1$2${free}`)]);
  return line === null ? null : `${line}    # port ${free} is free`;
}
