// `tunnel add NAME -L … HOST`: writes a tunnel into the file, in ssh's own letters. Comments and order of all else stay.
import type { Context } from '../../client/context.ts';
import { addTunnel, type NewTunnel } from '../../config/edit.ts';
import { namePattern, nameRule } from '../../config/value.ts';
import { TunnelError } from '../../errors.ts';
import { shellWord } from '../../model/shell-word.ts';
import { hintText } from '../../render/error.ts';
import { usage, type Args, type CommandSpec, type Run } from '../command.ts';
import { configToEdit, problemWith, writeConfig } from '../edited-config.ts';
import { readSshTunnel } from '../ssh-tunnel.ts';

export const spec: CommandSpec = {
  name: 'add',
  words: 'NAME HOST',
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
  const text = addTunnel(config.text, name, tunnel);
  const problem = await problemWith(context, config, text);
  if (problem !== null)
    throw new TunnelError('CONFIG_INVALID', `cannot add ${name}, on ${config.shown}: ${problem}`, {
      hint: { command: 'check', note: 'nothing is written; is the fault there already?' },
    });
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
