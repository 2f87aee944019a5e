// What sshd's own log says of a channel: which ends it was told of, and which it told by itself. Pure.

/** sshd_config's LogVerbose: the functions whose lines are read here, each then logged with the pid of its process. */
export const loggedFunctions = [
  'nchan.c:chan_rcvd_ieof*',
  'nchan.c:chan_send_eof2*',
  'nchan.c:chan_obuf_empty*',
  'nchan.c:chan_shutdown_write*',
  'nchan.c:chan_rcvd_oclose*',
  'channels.c:channel_new*',
  'channels.c:channel_free*',
  'channels.c:channel_post_port_listener*',
  'serverloop.c:server_request_direct_*',
];

/** One channel of one sshd process. */
export interface Channel {
  readonly pid: number;
  readonly number: number;
  /** `direct`: sshd dialled the target; `forwarded`: a client came to sshd. */
  readonly type: 'direct' | 'forwarded';
  /** For direct, the port that the tunnel named as the client's; for forwarded, the client's own. Null: not logged. */
  port: number | null;
  /** The tunnel sent an end. */
  endReceived: boolean;
  /** And all that came before it was written to the socket. */
  isDrained: boolean;
  /** sshd read an end, or a reset, from its socket, and sent it as an end. */
  endSent: boolean;
  isFree: boolean;
}

const line = /^debug\d: \S+?:(\w+)\(\):\d+ \(pid=(\d+)\): (.*)$/;

/** Every channel of the log, in the order in which they were opened. */
export function readChannels(log: string): Channel[] {
  const all: Channel[] = [];
  const open = new Map<string, Channel>();
  const origin = new Map<number, number | null>();
  for (const text of log.split(/\r?\n/)) {
    const [, name = '', pidText = '', message = ''] = line.exec(text) ?? [];
    if (name === '') continue;
    const pid = Number(pidText);
    const originator = /^originator \S* ?port (\d+),/.exec(message);
    if (originator !== null) origin.set(pid, Number(originator[1]) || null);
    const number = Number(/^channel (\d+): /.exec(message)?.[1] ?? Number.NaN);
    if (Number.isNaN(number)) continue;
    const key = `${pid}/${number}`;
    if (name === 'channel_new') {
      const type = /: new (direct|forwarded)-/.exec(message)?.[1] as Channel['type'] | undefined;
      if (type === undefined) continue;
      const port = type === 'direct' ? (origin.get(pid) ?? null) : null;
      const ends = { endReceived: false, isDrained: false, endSent: false, isFree: false };
      const channel: Channel = { pid, number, type, port, ...ends };
      all.push(channel);
      open.set(key, channel);
      continue;
    }
    const channel = open.get(key);
    if (channel !== undefined) note(channel, name, message);
    if (name === 'channel_free') open.delete(key);
  }
  return all;
}

/** A unix socket's; and that of a client which was gone when sshd accepted it. */
const unknownPorts = ['0', '65535'];

function note(channel: Channel, name: string, message: string): void {
  switch (name) {
    case 'chan_rcvd_ieof':
      channel.endReceived = true;
      return;
    case 'chan_obuf_empty':
      channel.isDrained = channel.endReceived;
      return;
    case 'chan_send_eof2':
      channel.endSent = true;
      return;
    case 'channel_free': {
      channel.isFree = true;
      const port = /connect from \S+ port (\d+) to/.exec(message)?.[1];
      if (port !== undefined && !unknownPorts.includes(port)) channel.port = Number(port);
      return;
    }
  }
}
