# my-pictures/train/<class>/*.jpg and my-pictures/val/<class>/*.jpg
pip install -r requirements-dev.txt
# from the bundled weights; your classes get a last layer of their own
python -m train.run --model dynamic_vgg19 --init-from dynamic_vgg19 --lr 0.01 --temperature-start 1 --data-root my-pictures --run-dir runs/mine
python -m train.evaluate --checkpoint runs/mine --data-root my-pictures --split val --channels all
