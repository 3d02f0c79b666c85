package main

import (
	"go.uber.org/zap"

	"github.com/bakewatch/bakewatch/bake"
	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/replay"
)

// recorder writes what the judge is given to files, one a bake, each anew at every tick: ticks may be read again.
type recorder struct {
	dir *replay.Dir
	log *zap.Logger
}

func newRecorder(path string, log *zap.Logger) *recorder {
	return &recorder{log: log, dir: replay.NewDir(path, func(err error) {
		if err != nil {
			log.Warn("readings are not recorded; bakes go on", zap.Error(err))
		} else {
			log.Info("readings are recorded again")
		}
	})}
}

// Record implements bake.Recorder.
func (r *recorder) Record(k bake.Key, name string, in decide.Input) {
	lines, err := replay.Encode(replay.Line{Namespace: k.Namespace, Kind: k.Kind, Name: k.Name}, in)
	if err != nil {
		r.log.Warn("readings cannot be recorded", zap.String("bake", k.Namespace+"/"+name), zap.Error(err))
		return
	}
	r.dir.Put(k.Namespace+"_"+name, lines)
}
