// Whose a false end is: the tunnel's, or one that OpenSSH passes off as an end, or a unix socket's, which knows no reset. Pure.
import type { Connection, Finding } from './connection.ts';
import type { End } from './ends.ts';
import type { Channel } from './sshd-log.ts';

/** `tunnel`: the program lied. */
export type Liar = 'tunnel' | 'openssh' | 'unix';

/**
 * The channels that may have carried a connection, of the server that its way leads to. `namesakes`: how many connections came to
 * that server from the same port, this one included.
 */
export function channelsOf(connection: Connection, all: readonly Channel[], namesakes = 1): Channel[] {
  const { way, client } = connection;
  const type = way.type === 'remote' ? 'forwarded' : 'direct';
  const ofType = all.filter((channel) => channel.type === type);
  // The request for a unix target names no client's port: what has the same one is another connection's, by another way.
  if (way.targetIsUnix) return ofType.filter(({ port }) => port === null);
  const exact = ofType.filter(({ port }) => port !== null && port === client.port);
  // One whose port nobody knows: a unix socket's, or a forwarded one whose process was killed before it told.
  const unknown = ofType.filter(({ port }) => port === null || way.clientIsUnix);
  if (exact.length === 0) return unknown;
  // A port is used again: with fewer channels than connections of it, this one's may be among those that never told.
  return way.type === 'remote' && exact.length < namesakes ? [...exact, ...unknown] : exact;
}

/** By whom the reader of a false end was told of it. */
export function liarOf({ connection, sender }: Finding, all: readonly Channel[], namesakes = 1): Liar {
  const { way, client, target } = connection;
  const [reader, writer] = sender === 'client' ? [target, client] : [client, target];
  const channels = channelsOf(connection, all, namesakes);
  const byTunnel = (way.type === 'remote') === (reader === target);
  if (!byTunnel)
    return channels.some((channel) => !wasMisled(channel, reader, writer)) ? 'openssh' : 'tunnel';
  if (reader === client && way.clientIsUnix) return 'unix';
  return writer.ended !== 'end' && channels.some(({ endSent }) => endSent) ? 'openssh' : 'tunnel';
}

/** The tunnel told sshd of an end that was none, or of one before which bytes are missing. */
function wasMisled(channel: Channel, reader: End, writer: End): boolean {
  if (!channel.endReceived) return false;
  if (writer.ended !== 'end') return true;
  return channel.isDrained && reader.reader.bytes < writer.sentBytes;
}
