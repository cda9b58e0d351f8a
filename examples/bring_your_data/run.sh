#!/bin/sh
# From raw tables and vectors to recommendations, without a line of Python but for the synthetic data themselves.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python "$here/make_data.py" raw

recbole-sheaf convert raw/clicks.csv --to=data/shop --user=visitor --item=video --time=at \
    --items=raw/videos.csv --text=title --features=video=raw/video.npy --features=speech=raw/speech.parquet
recbole-sheaf run --model=MMSheaf --dataset=shop --data_path=data --text_modalities='{title: [title]}'
checkpoint=$(ls -t saved/MMSheaf-shop-*.safetensors | head -n 1)
recbole-sheaf export "$checkpoint" --to=shop.npz
recbole-sheaf recommend shop.npz --users=visitor-0,visitor-1 --k=5

# New videos, without training again
recbole-sheaf embed-items "$checkpoint" --features=raw/new_videos --to=with_new.npz
recbole-sheaf recommend with_new.npz --users=visitor-0 --among=new --k=3
