/* pjproject's compile-time limits for a box that carries many calls.
 * The defaults are a soft phone's: 4 calls, 64 sockets, 254 conference ports. */
#define PJSUA_MAX_CALLS              160 /* 128 calls and room for the overlap of an old BYE with the next INVITE */
#define PJSUA_MAX_ACC                16
#define PJ_IOQUEUE_MAX_HANDLES       1024 /* RTP and RTCP per call, TCP and TLS transports */
#define PJSUA_MAX_CONF_PORTS         512  /* a stream and a Python port per call */
#define PJMEDIA_CONF_THREADS         1    /* one clock thread: Python callbacks never run beside each other */
#define PJSIP_MAX_TSX_COUNT          2047 /* hash tables want 2^n-1 */
#define PJSIP_MAX_DIALOG_COUNT       1023
#define PJSIP_MAX_PKT_LEN            24000 /* a longer message is dropped without a word, and its customer lands in voicemail */
#define PJMEDIA_HAS_VIDEO            0
#define PJMEDIA_TRANSPORT_SWITCH_REMOTE_ADDR 0 /* RTP goes where the SDP says, pinned-media.patch is the other half */
#define PJ_LOG_MAX_LEVEL             3    /* libCreate writes its level 4 lines to standard output before a level can be set */
